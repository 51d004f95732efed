import type { Finding } from '../lib/finding.ts';
import type { Log } from '../log.ts';
import type { OpenedEngine } from '../sandbox/engine.ts';
import type { DockerSettings } from './docker/index.ts';
import type { EngineOpenOptions, ExamineOptions } from './options.ts';
import type { EngineRemains } from './remains.ts';

/** Settings of the engines. A second engine adds its own settings here, and its case below. */
export type EngineSettings = DockerSettings;

/** Opens the engine that the settings name. @throws GloveboxError `engine_unavailable` */
export async function openEngine(settings: EngineSettings, options: EngineOpenOptions): Promise<OpenedEngine> {
  // Loaded on demand, so that it does not delay every start.
  const { openDocker } = await import('./docker/index.ts');
  return await openDocker(settings, options);
}

/**
 * Examines the engine that the settings name, and its sandboxes.
 * @throws GloveboxError `engine_unavailable`
 */
export async function examineEngine(settings: EngineSettings, options: ExamineOptions): Promise<readonly Finding[]> {
  const { examineDocker } = await import('./docker/examine.ts');
  return await examineDocker(settings, options);
}

/** Finds what Glovebox has left on the engine that the settings name. @throws GloveboxError `engine_unavailable` */
export async function findRemains(settings: EngineSettings, log: Log): Promise<EngineRemains> {
  const { findRemains: findOnDocker } = await import('./docker/remains.ts');
  return await findOnDocker(settings, log);
}
