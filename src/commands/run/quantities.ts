import { GloveboxError } from '../../errors.ts';

const SECONDS: Readonly<Record<string, number>> = { '': 1, s: 1, m: 60, h: 3600 };
const MEBIBYTES: Readonly<Record<string, number>> = { '': 1, m: 1, mb: 1, g: 1024, gb: 1024 };

/** Reads `90`, `90s`, `5m` or `1h` of `--timeout`, as milliseconds. @throws GloveboxError `invalid_input` */
export function readTimeout(text: string): number {
  const seconds = read(text, SECONDS);
  if (seconds !== undefined && seconds > 0) return seconds * 1000;
  throw new GloveboxError('invalid_input', `--timeout is ${JSON.stringify(text)}: no time.`, {
    hint: 'Write seconds, as in --timeout 90, or --timeout 5m.',
  });
}

/** Reads `512`, `512m` or `2g` of `--memory`, as MiB. @throws GloveboxError `invalid_input` */
export function readMemory(text: string): number {
  const mebibytes = read(text, MEBIBYTES);
  if (mebibytes !== undefined && Number.isInteger(mebibytes) && mebibytes >= 64) return mebibytes;
  throw new GloveboxError('invalid_input', `--memory is ${JSON.stringify(text)}: no size of 64 MiB or more.`, {
    hint: 'Write MiB, as in --memory 512, or --memory 2g.',
  });
}

function read(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?)([a-z]*)$/i.exec(text.trim()) ?? [];
  const factor = Object.hasOwn(units, unit.toLowerCase()) ? units[unit.toLowerCase()] : undefined;
  return number === '' || factor === undefined ? undefined : Number(number) * factor;
}
