import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Approve,
  Broker,
  type BrokerOptions,
  ToolFailure,
  type ToolFailureBody,
} from '../../src/broker/broker.ts';
import { createLog } from '../../src/log.ts';
import { setSecret } from '../../src/secrets/changes.ts';
import { Secrets } from '../../src/secrets/secrets.ts';

export interface TestBroker extends AsyncDisposable {
  readonly broker: Broker;
  readonly stateDir: string;
  /** Lines of the log. */
  readonly log: string[];
  /** Calls a tool as an owner, by default the one of a control plane without keys. */
  call(tool: string, args?: Record<string, unknown>, options?: CallOptions): ReturnType<Broker['call']>;
  /** Result of a call of one JSON or text part. */
  value(tool: string, args?: Record<string, unknown>, options?: CallOptions): Promise<unknown>;
}

export interface CallOptions {
  readonly owner?: string;
  readonly signal?: AbortSignal;
  readonly approve?: Approve;
}

export interface TestBrokerOptions extends Partial<Omit<BrokerOptions, 'secrets'>> {
  readonly secrets?: readonly (readonly [name: string, value: string, owner?: string])[];
}

/** A broker with a file of servers of its own. */
export function openBroker(servers: Record<string, object>, options: TestBrokerOptions = {}): TestBroker {
  const stateDir = options.stateDir ?? mkdtempSync(join(tmpdir(), 'glovebox-broker-'));
  const file = join(stateDir, 'tools.json');
  writeFileSync(file, JSON.stringify({ mcpServers: servers }));
  for (const [name, value, owner] of options.secrets ?? [])
    setSecret({ stateDir }, { name, ...(owner === undefined ? {} : { owner }) }, value);
  const log: string[] = [];
  const { secrets: _values, ...others } = options;
  const broker = Broker.open({
    ...{
      file,
      mayStart: false,
      stateDir,
      secrets: new Secrets({ stateDir }),
      localOwner: 'local',
      hosts: { proxy: {} },
      version: '0',
      ...others,
    },
    log: createLog('debug', (line) => log.push(line)),
  });
  const call: TestBroker['call'] = async (path, args = {}, { owner = 'local', signal, approve } = {}) => {
    const [server = '', ...tool] = path.split('.');
    return await broker.call({
      ...{ server, tool: tool.join('.'), arguments: args },
      caller: { owner, sessionId: 's', executionId: 'e' },
      signal: signal ?? new AbortController().signal,
      approve: approve ?? (() => Promise.reject(new Error('nobody expected to be asked'))),
    });
  };
  return {
    ...{ broker, stateDir, log, call },
    value: async (...given) => {
      const { parts } = await call(...given);
      const [part] = parts;
      if (parts.length > 1) throw new Error(`${parts.length} parts`);
      return part?.type === 'json' ? part.value : part?.type === 'text' ? part.text : part;
    },
    [Symbol.asyncDispose]: async () => {
      await broker[Symbol.asyncDispose]();
      if (options.stateDir === undefined) rmSync(stateDir, { recursive: true, force: true });
    },
  };
}

/** What a call fails with. */
export async function failureOf(call: Promise<unknown>): Promise<ToolFailureBody> {
  try {
    await call;
  } catch (error) {
    if (error instanceof ToolFailure) return error.body;
    throw error;
  }
  throw new Error('it has not failed');
}
