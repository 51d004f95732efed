import type { Finding } from '../lib/finding.ts';
import type { Log } from '../log.ts';
import type { OpenedEngine } from '../sandbox/engine.ts';
import type { DockerSettings } from './docker/index.ts';
import type { KubernetesSettings } from './kubernetes/settings.ts';
import type { EngineOpenOptions, ExamineOptions } from './options.ts';
import type { EngineRemains } from './remains.ts';

/** Settings of the engines, and which of them is used. Another engine adds its settings here, and its cases below. */
export interface EngineSettings extends DockerSettings, KubernetesSettings {
  readonly engine: 'docker' | 'kubernetes';
  readonly hostEnvironment: DockerSettings['hostEnvironment'] & KubernetesSettings['hostEnvironment'];
}

// Engines are loaded on demand, so that none delays the starts that do not use it.

/** Opens the engine that the settings name. @throws GloveboxError `engine_unavailable` */
export async function openEngine(settings: EngineSettings, options: EngineOpenOptions): Promise<OpenedEngine> {
  if (settings.engine === 'kubernetes') {
    const { openKubernetes } = await import('./kubernetes/index.ts');
    return await openKubernetes(settings, options);
  }
  const { openDocker } = await import('./docker/index.ts');
  return await openDocker(settings, options);
}

/**
 * Examines the engine that the settings name, and its sandboxes.
 * @throws GloveboxError `engine_unavailable`
 */
export async function examineEngine(settings: EngineSettings, options: ExamineOptions): Promise<readonly Finding[]> {
  if (settings.engine === 'kubernetes') {
    const { examineKubernetes } = await import('./kubernetes/examine.ts');
    return await examineKubernetes(settings, options);
  }
  const { examineDocker } = await import('./docker/examine.ts');
  return await examineDocker(settings, options);
}

/** Finds what Glovebox has left on the engine that the settings name. @throws GloveboxError `engine_unavailable` */
export async function findRemains(settings: EngineSettings, log: Log): Promise<EngineRemains> {
  if (settings.engine === 'kubernetes') {
    const { findRemains: findInCluster } = await import('./kubernetes/remains.ts');
    return await findInCluster(settings, log);
  }
  const { findRemains: findOnDocker } = await import('./docker/remains.ts');
  return await findOnDocker(settings, log);
}
