import type { Finding } from '../lib/finding.ts';
import type { OpenedEngine } from '../sandbox/engine.ts';
import type { DockerSettings } from './docker/index.ts';
import type { EngineOpenOptions, ExamineOptions } from './options.ts';

/** The settings of whichever engine there is. A second one adds its own here, and below the choice between them. */
export type EngineSettings = DockerSettings;

/** Gets the engine that the settings name ready to make sandboxes. @throws GloveboxError `engine_unavailable` */
export async function openEngine(settings: EngineSettings, options: EngineOpenOptions): Promise<OpenedEngine> {
  // Loaded when it is wanted, so that no start waits for it.
  const { openDocker } = await import('./docker/index.ts');
  return await openDocker(settings, options);
}

/**
 * Says of the engine that the settings name, and of its sandboxes, how they are.
 * @throws GloveboxError `engine_unavailable`
 */
export async function examineEngine(settings: EngineSettings, options: ExamineOptions): Promise<readonly Finding[]> {
  const { examineDocker } = await import('./docker/examine.ts');
  return await examineDocker(settings, options);
}
