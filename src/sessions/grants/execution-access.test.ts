import { describe, expect, it } from 'vitest';
import { RESULT } from '../../../test/support/result.ts';
import type { RecordedWebGrant, WebAccess, WebRefusal, WebRequest } from '../../egress/web-access.ts';
import { GloveboxError } from '../../errors.ts';
import { ExecutionClock } from '../../execution/execution-clock.ts';
import type { ToolAccess } from '../../execution/tool-access.ts';
import { savedAccessSchema } from '../../state/saved-access.ts';
import { type AccessSession, openAccess, reopenAccess } from './execution-access.ts';
import { fromRecordedAccess, toRecordedAccess } from './recorded-access.ts';
import { withAccess } from './terminal-access.ts';

/** Gives access to other hosts, and notes what was asked for, and which grants are open. */
class FakeWeb implements WebAccess {
  readonly isOn = true;
  readonly requests: WebRequest[] = [];
  readonly refusals: WebRefusal[] = [];
  count = 0;

  narrow = (_owner: string, patterns: readonly string[]) => patterns;
  describe = () => 'a.example';
  addressesWithSecrets = () => [];

  open(request: WebRequest) {
    this.requests.push(request);
    if (request.patterns?.length === 0) return undefined;
    return Object.assign(this.#grant({ hash: 'h', bytesIn: 0, bytesOut: 0 }), { token: 'TOKEN' });
  }

  reopen(recorded: RecordedWebGrant) {
    return this.#grant(recorded);
  }

  #grant(recorded: RecordedWebGrant) {
    this.count += 1;
    const end = () => {
      this.count -= 1;
    };
    return { recorded, hosts: [], refusals: this.refusals, [Symbol.dispose]: end };
  }
}

const noTools = (error: unknown): ToolAccess => ({
  open: () => {
    throw error;
  },
  reopen: () => {
    throw error;
  },
});

function sessionWith(web: FakeWeb, more: Partial<AccessSession> = {}): AccessSession {
  return { id: 's', owner: 'one', web, background: { record: () => {} }, ...more };
}

describe('access of an execution to the web', () => {
  it('is told to its program by the usual variables, in small letters and capitals', () => {
    const { env = {} } = openAccess(sessionWith(new FakeWeb()), 'exe_1', { env: { A: '1' } });
    const url = 'http://glovebox:TOKEN@127.0.0.1:3143';
    for (const name of ['http_proxy', 'HTTP_PROXY', 'https_proxy', 'HTTPS_PROXY', 'ALL_PROXY', 'wss_proxy'])
      expect(env[name]).toBe(url);
    expect(env).toMatchObject({ A: '1', NO_PROXY: 'localhost,127.0.0.1,::1', no_proxy: 'localhost,127.0.0.1,::1' });
  });

  it('leaves to a caller the variables that it sets itself', () => {
    const { env } = openAccess(sessionWith(new FakeWeb()), 'exe_1', { env: { HTTPS_PROXY: 'http://localhost:8080' } });
    expect(env).toMatchObject({ HTTPS_PROXY: 'http://localhost:8080', HTTP_PROXY: expect.stringContaining('TOKEN') });
  });

  it('is narrowed to what its session and its call name, and nothing is told to one that may reach nothing', () => {
    const web = new FakeWeb();
    const session = sessionWith(web, { webPatterns: ['*.example'] });
    expect(openAccess(session, 'exe_1', { web: ['a.example'] }).access).toBeDefined();
    expect(openAccess(session, 'exe_2', { web: [], env: { A: '1' } })).toMatchObject({
      access: undefined,
      env: { A: '1' },
    });
    expect(web.requests).toMatchObject([
      { owner: 'one', sessionId: 's', executionId: 'exe_1', session: ['*.example'], patterns: ['a.example'] },
      { executionId: 'exe_2', patterns: [] },
    ]);
  });

  it('ends with the execution, and when it cannot begin for another reason', () => {
    const web = new FakeWeb();
    const { access } = openAccess(sessionWith(web), 'exe_1', {});
    expect(web.count).toBe(1);
    access?.[Symbol.dispose]();
    expect(web.count).toBe(0);
    const tools = noTools(new GloveboxError('invalid_input', 'There is no server "x" of tools.'));
    expect(() => openAccess(sessionWith(web, { tools }), 'exe_2', { tools: ['x'] })).toThrow('no server "x"');
    expect(web.count).toBe(0);
  });

  it('is had again after a restart, by a record that is read as it was written', () => {
    const web = new FakeWeb();
    const recorded = { web: { hash: 'h', session: ['*.example'], patterns: ['a.example'], bytesIn: 5, bytesOut: 7 } };
    const read = savedAccessSchema.parse(JSON.parse(JSON.stringify(toRecordedAccess(recorded))));
    const access = reopenAccess(sessionWith(web), 'exe_1', fromRecordedAccess(read), new ExecutionClock());
    expect(access?.recorded).toEqual(recorded);
    expect(reopenAccess(sessionWith(web), 'exe_2', {}, new ExecutionClock())).toBeUndefined();
  });

  it('tells in the result what was refused', () => {
    const web = new FakeWeb();
    const { access } = openAccess(sessionWith(web), 'exe_1', {});
    expect(access?.tellIn(RESULT)).toEqual(RESULT);
    const refusal = { host: 'b.example', port: 443, rule: 'host', message: 'b.example is not named.' } as const;
    web.refusals.push(refusal);
    expect(access?.tellIn(RESULT).web).toEqual({ hosts: [], refused: [refusal] });
  });
});

describe('the access of a terminal', () => {
  const request = { kind: 'terminal', env: { TERM: 'dumb', HTTP_PROXY: 'own' } } as const;

  it('lasts as long as the terminal, whose own variables go before', async () => {
    const web = new FakeWeb();
    const end = await withAccess(sessionWith(web), 'trm_1', request, async ({ env }) => {
      expect(web.count).toBe(1);
      expect(env).toMatchObject({ TERM: 'dumb', HTTP_PROXY: 'own', https_proxy: expect.stringContaining('TOKEN') });
      return { status: 'ok', exitCode: 0 };
    });
    expect([end.status, web.count, web.requests[0]?.executionId]).toEqual(['ok', 0, 'trm_1']);
  });

  it('ends with a terminal that could not run', async () => {
    const web = new FakeWeb();
    const failing = withAccess(sessionWith(web), 'trm_1', request, async () => {
      throw new GloveboxError('sandbox_lost', 'gone');
    });
    await expect(failing).rejects.toThrow('gone');
    expect(web.count).toBe(0);
  });
});
