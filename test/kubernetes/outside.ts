/**
 * Outside tests that run in a cluster as they run on Docker. What they see of sandboxes besides the product's own answers,
 * `test/support/server.ts` asks of either engine.
 */
export const EITHER_ENGINE = [
  ...['readme', 'bad-input', 'contexts', 'background', 'install', 'output', 'processes', 'terminals'].map(
    (name) => `test/api/${name}.test.ts`,
  ),
  ...['adoption', 'archives', 'owners', 'pool'].map((name) => `test/sessions/${name}.test.ts`),
];

/**
 * More of them, for the night: what they test is above the engines, and they pass in a cluster. Those that have not been
 * run there yet are not among them.
 */
export const EITHER_ENGINE_AT_NIGHT = ['tools', 'shells'].map((name) => `test/api/${name}.test.ts`);
