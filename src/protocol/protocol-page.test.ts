import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseReport } from '../execution/report.ts';
import { encodeFrame, FIRST_TUNNEL, FrameDecoder, FrameType, INITIAL_CREDIT, PROTOCOL_VERSION } from './frames.ts';
import { GenerationRefused, parseGreeting } from './greeting.ts';

const page = readFileSync(new URL('../../docs/protocol.md', import.meta.url), 'utf8');
const source = (path: string) => readFileSync(new URL(path, import.meta.url), 'utf8');

/** Kinds whose payload is JSON, which the page shows as it is; others have escapes for bytes that are no letters. */
const JSON_KINDS: readonly number[] = [FrameType.start, FrameType.configure, FrameType.ready, FrameType.end];
const EXAMPLE = /^([→←]) ([0-9a-f]{8}) ([0-9a-f]{2}) ([0-9a-f]{8})(?: (.*))?$/;

interface Example {
  readonly fromRunner: boolean;
  readonly header: Buffer;
  readonly type: number;
  readonly stream: number;
  readonly payload: Buffer;
}

function readExamples(): Example[] {
  const blocks = [...page.matchAll(/^```frames\n([\s\S]*?)^```$/gm)].map(([, lines = '']) => lines);
  return blocks.flatMap((lines) => lines.trimEnd().split('\n')).map(readExample);
}

function readExample(line: string): Example {
  const [, arrow, length = '', kind = '', stream = '', text = ''] = EXAMPLE.exec(line) ?? [];
  const type = Number.parseInt(kind, 16);
  return {
    fromRunner: arrow === '←',
    header: Buffer.from(length + kind + stream, 'hex'),
    type,
    stream: Number.parseInt(stream, 16),
    payload: JSON_KINDS.includes(type) ? Buffer.from(text) : toBytes(text),
  };
}

function toBytes(text: string): Buffer {
  const bytes = text.replace(/\\(n|r|x[0-9a-f]{2})/g, (_, name: string) =>
    name === 'n' ? '\n' : name === 'r' ? '\r' : String.fromCharCode(Number.parseInt(name.slice(1), 16)),
  );
  return Buffer.from(bytes, 'latin1');
}

/** Rows of the table of kinds: number, name and who sends it. */
function readKinds(): { number: number; name: string; sender: string }[] {
  const rows = page.matchAll(/^\| (\d+) +\| `(\w+)` +\| (control plane|runner|both) +\|/gm);
  return [...rows].map(([, number, name = '', sender = '']) => ({ number: Number(number), name, sender }));
}

/** Names that the first column of the tables below a heading has in code style. */
function namesBelow(heading: string): string[] {
  const section = page.split(/^#+ /m).find((text) => text.startsWith(`${heading}\n`)) ?? '';
  const cells = [...section.matchAll(/^\| (`[^|]+) \|/gm)].map(([, cell = '']) => cell);
  return cells.flatMap((cell) => [...cell.matchAll(/`(\w+)`/g)].map(([, name = '']) => name));
}

describe('docs/protocol.md', () => {
  it('names each kind of frame with its number, and no other', () => {
    const named = readKinds().map(({ name, number }) => [name, number]);
    expect(Object.fromEntries(named)).toEqual(FrameType);
    expect(named).toHaveLength(Object.keys(FrameType).length);
  });

  it('has examples of frames that are encoded as they say, and sent by whom the table says', () => {
    const examples = readExamples();
    expect(examples.length).toBeGreaterThan(30);
    const kinds = new Map(readKinds().map((kind) => [kind.number, kind]));
    for (const { header, type, stream, payload, fromRunner } of examples) {
      expect(encodeFrame(type, stream, payload).subarray(0, header.length)).toEqual(header);
      expect([fromRunner ? 'runner' : 'control plane', 'both']).toContain(kinds.get(type)?.sender);
    }
  });

  it('has examples of greetings and reports that are taken', () => {
    const payloads = (kind: number) => readExamples().flatMap(({ type, payload }) => (type === kind ? [payload] : []));
    const isRefusal = (payload: Buffer) => payload.includes('"refused"');
    const greetings = payloads(FrameType.ready);
    const refusals = greetings.filter(isRefusal);
    const ready = greetings.filter((payload) => !isRefusal(payload));
    expect(ready.map(parseGreeting).some(({ adopted }) => adopted)).toBe(true);
    expect(refusals).toHaveLength(1);
    for (const refusal of refusals) expect(() => parseGreeting(refusal)).toThrow(GenerationRefused);
    expect(payloads(FrameType.end).map(parseReport)).not.toEqual([]);
  });

  it('shows the bytes of a frame that decode to what it says of them', () => {
    const [, hex = ''] = /^((?:[0-9a-f]{2} +)+[0-9a-f]{2})$/m.exec(page) ?? [];
    const frames = [...new FrameDecoder().decode(Buffer.from(hex.replaceAll(' ', ''), 'hex'))];
    expect(frames).toEqual([{ type: FrameType.stdout, stream: 1, payload: Buffer.from('hello\n') }]);
  });

  it('explains every field of a request and of a report', () => {
    const request = /interface ExecutionRequest \{([\s\S]*?)\n\}/.exec(source('../execution/request.ts'))?.[1] ?? '';
    const requestFields = [...request.matchAll(/^ {2}readonly (\w+)\??:/gm)].map(([, name]) => name);
    expect(requestFields).toContain('code');
    expect(namesBelow('Requests')).toEqual(expect.arrayContaining(requestFields));
    const report =
      /z\.union\(\[\n {2}z\.object\(\{([\s\S]*?)\n {2}\}\)/.exec(source('../execution/report.ts'))?.[1] ?? '';
    const reportFields = [...report.matchAll(/^ {4}(\w+):/gm)].map(([, name]) => name);
    expect(reportFields).toContain('exit_code');
    expect(namesBelow('Reports')).toEqual(expect.arrayContaining(reportFields));
  });

  it('names the limits and the version that the code has', () => {
    expect(page).toContain(`${INITIAL_CREDIT / 1024} KiB`);
    expect(readExamples().filter(({ stream }) => stream >= FIRST_TUNNEL)).not.toEqual([]);
    const versions = page.matchAll(/"protocol":(\d+)/g);
    expect(new Set([...versions].map(([, version]) => Number(version)))).toEqual(new Set([PROTOCOL_VERSION]));
  });
});
