import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { SETTINGS_PAGE, settingsPage } from '../../scripts/settings-page.ts';
import { describeSettings } from './describe.ts';
import { loadConfig } from './load.ts';

it('docs/settings.md says what the schema says; "npm run docs:settings" writes it', () => {
  expect(readFileSync(SETTINGS_PAGE, 'utf8')).toBe(settingsPage());
});

it('every setting has a sentence, a type and an example that is a valid value', () => {
  const described = describeSettings();
  for (const { variable, meaning, type, example } of described) {
    expect(meaning, variable).toMatch(/^[A-Z].*\.$/);
    expect(type, variable).not.toBe('');
    loadConfig({ HOME: '/home/someone', GLOVEBOX_AUTH: 'keys', GLOVEBOX_MEMORY_MB: '512', [variable]: example });
  }
  for (const { variable, default: literal, computedDefault } of described)
    expect([literal, computedDefault].filter(Boolean).length, variable).toBeLessThan(2);
});
