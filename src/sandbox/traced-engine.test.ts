import { afterEach, expect, test } from 'vitest';
import { FAKE_PROFILE, FakeEngine } from '../../test/support/fake-engine.ts';
import { type Span, type Tracer, useTracer } from '../telemetry/trace.ts';
import type { ConnectOptions } from './engine.ts';
import { traceEngine } from './traced-engine.ts';

const span: Span = { context: { isTraceContext: true }, set() {}, rename() {}, fail() {}, end() {} };
const tracer: Tracer = {
  start: () => span,
  within: (_context, work) => work(),
  current: () => undefined,
  fields: () => ({}),
};
afterEach(() => useTracer(undefined));

test('runners were not told the generation of a session while traces were made, and refused no former control plane', async () => {
  useTracer(tracer);
  const engine = new FakeEngine();
  const seen: (ConnectOptions | undefined)[] = [];
  const connect = engine.connect.bind(engine);
  engine.connect = async (ref, options) => {
    seen.push(options);
    return await connect(ref, options);
  };
  const traced = traceEngine(engine);
  const { ref } = await traced.start({ ...FAKE_PROFILE, key: 'k', instance: 'i' });
  (await traced.connect(ref, { generation: 3 })).destroy();
  expect(seen).toEqual([{ generation: 3 }]);
});
