/**
 * Outside tests that run in a cluster as they run on Docker. What they see of sandboxes besides the product's own answers,
 * `test/support/server.ts` asks of either engine.
 */
export const EITHER_ENGINE = [
  ...['readme', 'bad-input', 'contexts', 'background', 'install', 'processes', 'terminals'].map(
    (name) => `test/api/${name}.test.ts`,
  ),
  ...['adoption', 'archives', 'owners', 'pool'].map((name) => `test/sessions/${name}.test.ts`),
];
