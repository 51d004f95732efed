import type { Target } from '../target.ts';
import { channel } from './channel.ts';
import { echo } from './echo.ts';
import { httpBody } from './http-body.ts';
import { indexPage } from './index-page.ts';
import { requirement } from './requirement.ts';
import { tar } from './tar.ts';
import { webRequest } from './web-request.ts';

export const TARGETS: readonly Target[] = [channel, tar, requirement, indexPage, httpBody, echo, webRequest];

export function targetOf(name: string): Target {
  const target = TARGETS.find((one) => one.name === name);
  if (!target) throw new Error(`There is no target ${name}. Targets: ${TARGETS.map((one) => one.name).join(', ')}.`);
  return target;
}
