import { duplexPair } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { REPORT as WELL } from '../../test/support/report.ts';
import { Channel } from './channel.ts';
import { encodeFrame, FIRST_KEPT, FrameType, PROTOCOL_VERSION } from './frames.ts';
import { IncompatibleRunner } from './greeting.ts';

const REPORT = { ...WELL, exit_code: 3 };
const json = (type: number, stream: number, value: unknown) =>
  encodeFrame(type, stream, Buffer.from(JSON.stringify(value)));
const greeting = (adopted?: unknown) =>
  json(FrameType.ready, 0, { protocol: PROTOCOL_VERSION, python: '3.13.1', ...(adopted ? { adopted } : {}) });
const execution = (stream: unknown, more: object = {}) => ({ id: 'exe_a', stream, ran_ms: 5, ...more });

async function open(...frames: Buffer[]): Promise<Channel> {
  const [ours, runner] = duplexPair();
  runner.write(Buffer.concat(frames));
  return await Channel.open(ours);
}

describe('a runner that an earlier control plane left', () => {
  it('tells its contexts and its background executions, whose ends come as those of any other', async () => {
    const adopted = { contexts: ['c'], executions: [execution(FIRST_KEPT, { ended: true, ended_by: 'kill' })] };
    const output = encodeFrame(FrameType.stdout, FIRST_KEPT, Buffer.from('more'));
    const channel = await open(greeting(adopted), output, json(FrameType.end, FIRST_KEPT, REPORT));
    expect(channel.runnerState?.contexts).toEqual(['c']);
    const left = channel.runnerState?.executions.get('exe_a');
    expect(left).toMatchObject({ ranMs: 5, ended: true, endedBy: 'kill' });
    expect(await left?.channel.ended).toMatchObject({ exit_code: 3 });
  });

  it('is refused by the version of its protocol, whatever else it says; one that names none speaks the first', async () => {
    const other = json(FrameType.ready, 0, { protocol: PROTOCOL_VERSION + 1, adopted: 'in another form' });
    await expect(open(other)).rejects.toThrow(IncompatibleRunner);
    await expect(open(json(FrameType.ready, 0, {}))).resolves.toBeInstanceOf(Channel);
  });

  it('refuses a control plane that slept while another claimed the session', async () => {
    const refusal = json(FrameType.ready, 0, { protocol: PROTOCOL_VERSION, refused: 'generation', generation: 3 });
    await expect(open(refusal)).rejects.toMatchObject({ code: 'session_moved', generation: 3 });
    const unsaid = json(FrameType.ready, 0, { protocol: PROTOCOL_VERSION, refused: 'generation', generation: 0 });
    await expect(open(unsaid)).resolves.toBeInstanceOf(Channel);
  });

  it('is told from one that is new', async () => {
    expect((await open(greeting())).runnerState).toBeUndefined();
  });

  it.each([
    ['a stream of this control plane', { contexts: [], executions: [execution(1)] }],
    ['a stream of the tunnels', { contexts: [], executions: [execution(2 ** 31)] }],
    ['no number', { contexts: [], executions: [execution('1')] }],
    ['one stream twice', { contexts: [], executions: [execution(FIRST_KEPT), execution(FIRST_KEPT)] }],
    ['a time before any', { contexts: [], executions: [execution(FIRST_KEPT, { ran_ms: -1 })] }],
    ['an id that is a path', { contexts: [], executions: [{ ...execution(FIRST_KEPT), id: '../x' }] }],
    ['a context of no name', { contexts: [''], executions: [] }],
    ['contexts without end', { contexts: Array.from({ length: 65 }, (_, n) => `c${n}`), executions: [] }],
  ])('is not believed when it names %s', async (_, adopted) => {
    await expect(open(greeting(adopted))).rejects.toMatchObject({ code: 'sandbox_lost' });
  });

  it('greets once: what says so again is closed', async () => {
    const channel = await open(greeting(), greeting());
    expect((await channel.closed).violation).toContain('greeting');
  });
});
