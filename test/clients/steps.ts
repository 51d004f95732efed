import { setTimeout as pause } from 'node:timers/promises';
import type { Answer, DrivenClient } from './driven.ts';

/** What a person's agent does with a server of tools, each step a check of what comes back to it. */
export type Step = (client: DrivenClient) => Promise<string | true>;

const SILENCE_S = 70;

export const STEPS: Readonly<Record<string, Step>> = {
  list: async (client) => {
    const tools = await client.tools();
    return tools.includes('execute_python') || `only ${tools.join(', ')}`;
  },
  run: async (client) => {
    const code = "open('kept.txt', 'w').write('of call 1'); print(6 * 7)";
    return expectText(await python(client, code), '42');
  },
  session: async (client) => expectText(await python(client, "print(open('kept.txt').read())"), 'of call 1'),
  progress: async (client) => {
    const code = 'import time\nfor i in range(3):\n    print(i, flush=True)\n    time.sleep(0.5)';
    const call = client.call('execute_python', { code });
    await call.answer;
    return call.heard() > 0 || 'nothing heard';
  },
  picture: async (client) => {
    const code = 'import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()';
    const { images } = await client.call('execute_python', { code, timeout_s: 50 }).answer;
    return images === 1 || `${images} pictures`;
  },
  error: async (client) => {
    expectText(await python(client, '1 / 0'), 'ZeroDivisionError');
    const told = await client.call('read_file', { path: 'none.txt' }).answer.then(
      ({ text }) => text,
      ({ message }: Error) => message,
    );
    return told.includes('none.txt') || `told: ${told.slice(0, 100)}`;
  },
  null: async (client) => {
    const nothing = { session_id: null, context: null, timeout_s: null, background: null, stdin: null, env: null };
    return expectText(await client.call('execute_python', { code: 'print(43)', ...nothing }).answer, '43');
  },
  resources: async (client) => {
    const uris = await client.resources();
    const uri = uris.find((one) => one.endsWith('kept.txt'));
    if (!uri) return `not in ${uris.length} resources`;
    const text = await client.read(uri);
    return text.includes('of call 1') || `read: ${text.slice(0, 80)}`;
  },
  cancel: async (client) => {
    const beat = "import os, time\nfor i in range(250):\n    open('beat', 'w').close()\n    time.sleep(0.1)";
    const call = client.call('execute_python', { code: beat });
    await pause(4000); // The program has begun, be it that the client hears of it or not.
    call.cancel();
    await pause(2000);
    const look =
      "import os, time\na = os.stat('beat').st_mtime_ns\ntime.sleep(1)\nprint(os.stat('beat').st_mtime_ns == a)";
    return (await python(client, look)).text.includes('True') || 'the program goes on';
  },
  install: async (client) => {
    const call = client.call('install_dependencies', { packages: ['six'] });
    await call.answer;
    return expectText(await python(client, 'import six; print(six.__name__ * 2)'), 'sixsix');
  },
};

/** Done by itself and twice, as the client is and with the setting that its recipe names: it takes more than a minute. */
export const silence: Step = async (client) => {
  const code = `import time; time.sleep(${SILENCE_S}); print('at last')`;
  return expectText(await client.call('execute_python', { code, timeout_s: 100 }).answer, 'at last');
};

async function python(client: DrivenClient, code: string): Promise<Answer> {
  return await client.call('execute_python', { code }).answer;
}

/** @throws Error with what came instead */
function expectText({ text }: Answer, wanted: string): true {
  if (!text.includes(wanted)) throw new Error(`got: ${text.replace(/\s+/g, ' ').slice(0, 120)}`);
  return true;
}
