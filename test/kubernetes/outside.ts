/** Outside tests that run in a cluster as they run on Docker: whatever they do, they do by the product alone. */
export const EITHER_ENGINE = ['test/api/readme.test.ts'];
