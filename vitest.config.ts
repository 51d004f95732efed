import { defineConfig, type TestProjectConfiguration } from 'vitest/config';
import { EITHER_ENGINE, EITHER_ENGINE_AT_NIGHT } from './test/kubernetes/outside.ts';

/** Tests that need a cluster, in files of the source and in a folder of their own. */
const IN_CLUSTER = ['src/**/*.kubernetes.test.ts', 'test/kubernetes/**/*.test.ts'];

// biome-ignore lint/style/noProcessEnv: configuration is not loaded here
const { CI, KUBECONFIG, AT_NIGHT } = process.env;
/** Whether the tests in a cluster are part of this run: in CI, where a cluster is named, or when they are asked for. */
const usesCluster =
  Boolean(CI || KUBECONFIG) || process.argv.some((argument) => /^(--project=)?kubernetes$/.test(argument));

const KUBERNETES: TestProjectConfiguration = {
  test: {
    name: 'kubernetes',
    include: [...IN_CLUSTER, ...EITHER_ENGINE, ...(AT_NIGHT ? EITHER_ENGINE_AT_NIGHT : [])],
    // A cluster that somebody else runs is not broken on purpose.
    exclude: KUBECONFIG && !CI ? ['**/*.lab.test.ts'] : [],
    globalSetup: 'test/setup/cluster.ts',
    setupFiles: 'test/setup/in-cluster.ts',
    // As for Docker: races that a busy machine decides differently. Twice is a failure.
    retry: 1,
    // After all others: a cluster takes much of a machine.
    sequence: { groupOrder: 1 },
    expect: { poll: { timeout: 30_000 } },
    testTimeout: 120_000,
    hookTimeout: 240_000,
    // More than there are processors: they wait for nodes and leases most of the time.
    maxWorkers: 3,
  },
};

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
          exclude: ['**/*.docker.test.ts', ...IN_CLUSTER],
          // Those that make ten thousand calls take longer than five seconds beside containers.
          testTimeout: 20_000,
        },
      },
      {
        test: {
          name: 'docker',
          include: ['src/**/*.docker.test.ts', 'test/**/*.test.ts'],
          exclude: ['test/mcp/conformance.test.ts', 'test/fuzz/**', ...IN_CLUSTER],
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
      ...(usesCluster ? [KUBERNETES] : []),
    ],
  },
});
