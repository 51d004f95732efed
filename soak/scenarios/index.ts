import { BACKGROUND } from './background.ts';
import { ENDINGS } from './endings.ts';
import { ORDINARY } from './ordinary.ts';
import type { Scenario } from './scenario.ts';
import { VIOLENCE } from './violence.ts';

/** All that happens in a soak. */
export const SCENARIOS: readonly Scenario[] = [...ORDINARY, ...ENDINGS, ...BACKGROUND, ...VIOLENCE];
