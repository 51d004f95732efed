import { ok } from 'node:assert/strict';
import { formsOf } from '../../../src/secrets/scrubbing/forms.ts';
import { type Removal, Scrubber } from '../../../src/secrets/scrubbing/scrubber.ts';
import { cut, type Target } from '../target.ts';

/** The second begins within the first, and the third repeats itself. */
const SECRETS = ['gh_Zü+"9&7/x-key', '9&7/x-key-two', 'aBaBaBaBaBaB'];
const LABEL = '[removed]';
const FORMS = SECRETS.flatMap(formsOf);
const PLAIN = FORMS.filter(({ wraps }) => !wraps).map(({ bytes }) => fold(bytes));
const scrubber = new Scrubber(SECRETS.map((value) => ({ value, label: LABEL })));

/** What a host sends that was given secrets, on its way to the code. */
export const echo: Target = {
  name: 'echo',
  longest: 8 * 1024,
  words: [
    ...FORMS.map(({ bytes }) => bytes),
    ...FORMS.map(({ bytes }) => bytes.subarray(0, bytes.length >> 1)),
    ...FORMS.map(({ bytes }) => bytes.subarray(bytes.length >> 1)),
    ...['\r\n', '\\n', '\\r\\n', ' ', '\\', 'data: ', '\n\n', '=', 'aB'],
  ],
  run(input) {
    for (const removal of ['label', 'stars'] as const) {
      for (const pieces of [[input], cut(input), input.subarray(0, 1024).map((byte) => byte)])
        check(input, pieces, removal);
    }
  },
};

function check(input: Buffer, pieces: Iterable<Buffer | number>, removal: Removal): void {
  const scrubbing = scrubber.begin(removal);
  const passed: Buffer[] = [];
  let taken = 0;
  for (const piece of pieces) {
    const bytes = typeof piece === 'number' ? Buffer.from([piece]) : piece;
    taken += bytes.length;
    passed.push(...scrubbing.push(bytes));
  }
  passed.push(...scrubbing.end());
  const out = Buffer.concat(passed);
  const text = fold(out);
  // What stands on either side of a label is not one text.
  const left = removal === 'label' ? text.split(fold(Buffer.from(LABEL))) : [text];
  for (const form of PLAIN) ok(!left.some((part) => part.includes(form)), `${form} is left, with ${removal}`);
  if (removal === 'stars') ok(out.length === taken, `${out.length} bytes in place of ${taken}`);
  const before = input.subarray(0, taken);
  if (out.equals(before)) return;
  const joined = withoutBreaks(fold(before));
  const isThere = FORMS.some(({ bytes }) => joined.includes(withoutBreaks(fold(bytes))));
  ok(isThere, 'something was removed that is no secret');
}

function fold(bytes: Buffer): string {
  return Buffer.from(bytes.map((byte) => byte | 0x20)).toString('latin1');
}

/** Without what may stand within a spelling whose lines are broken: blanks, as they are and as JSON has them. */
function withoutBreaks(folded: string): string {
  return folded.replace(/[ \-*)]|\|[nr]/g, '');
}
