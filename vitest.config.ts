import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: [
            'src/**/*.test.ts',
            'dashboard/src/**/*.test.ts',
            'bench/**/*.test.ts',
            'scripts/**/*.test.{mjs,ts}',
            'test/mcp/conformance.test.ts',
            'test/fuzz/**/*.test.ts',
          ],
          exclude: ['**/*.docker.test.ts', '**/*.kubernetes.test.ts'],
        },
      },
      {
        test: {
          name: 'docker',
          include: ['src/**/*.docker.test.ts', 'test/**/*.test.ts'],
          exclude: ['test/mcp/conformance.test.ts', 'test/fuzz/**'],
          globalSetup: 'test/setup/engine.ts',
          // Hostile code races the kernel, and a busy machine decides such races differently: twice is a failure.
          retry: 1,
          // A second, the default, is not enough for a container on a busy machine.
          expect: { poll: { timeout: 15_000 } },
          testTimeout: 60_000,
          hookTimeout: 120_000,
          // Two processors: more files at once only make each slower.
          maxWorkers: 2,
        },
      },
    ],
  },
});
