// Loaded before a program by NODE_OPTIONS=--import=…/slow-clock.mjs?8, makes its clock and all its timers eight times
// slower. Limits of time then mean to it what they mean beside an engine that is not emulated.
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { performance } from 'node:perf_hooks';
import { promisify } from 'node:util';

const times = Number(new URL(import.meta.url).search.slice(1));
if (!(times >= 1)) throw new Error('The clock is to be how many times slower?');
/** Longest time of a timer, in milliseconds. */
const LONGEST_MS = 2 ** 31 - 1;
const scale = (ms) => (typeof ms === 'number' ? Math.min(ms * times, LONGEST_MS) : ms);

const require = createRequire(import.meta.url);
const timers = require('node:timers');
const promises = require('node:timers/promises');

for (const name of ['setTimeout', 'setInterval']) {
  const real = timers[name];
  const slow = (callback, ms, ...rest) => real(callback, scale(ms), ...rest);
  timers[name] = globalThis[name] = slow;
  const wait = promises[name];
  promises[name] = slow[promisify.custom] = (ms, ...rest) => wait(scale(ms), ...rest);
}
const timeout = AbortSignal.timeout.bind(AbortSignal);
AbortSignal.timeout = (ms) => timeout(scale(ms));

const start = Date.now();
const now = Date.now.bind(Date);
Date.now = () => Math.floor(start + (now() - start) / times);
const elapsed = performance.now.bind(performance);
performance.now = () => elapsed() / times;
syncBuiltinESMExports();
