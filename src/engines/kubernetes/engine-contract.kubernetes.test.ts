import { expect } from 'vitest';
import { openTestNamespace } from '../../../test/support/test-namespace.ts';
import { createLog } from '../../log.ts';
import { testEngine } from '../engine-contract.ts';
import { KubernetesClient } from './api/client.ts';
import { KubernetesEngine } from './engine.ts';

testEngine('Kubernetes', async () => {
  const namespace = await openTestNamespace('contract');
  const { access, settings, profile } = namespace;
  const log = createLog('error');
  const engines: KubernetesEngine[] = [];
  const open = (server = access.server) => {
    const engine = new KubernetesEngine(new KubernetesClient({ ...access, server }), settings, log);
    engines.push(engine);
    return engine;
  };
  return {
    opened: { engine: open(), profile },
    reopen: () => open(),
    openUnreachable: () => open(new URL('https://127.0.0.1:9')),
    [Symbol.asyncDispose]: async () => {
      for (const engine of engines) engine[Symbol.dispose]();
      expect(await namespace.podNames()).toEqual([]);
      await namespace[Symbol.asyncDispose]();
    },
  };
});
