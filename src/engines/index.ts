import type { OpenedEngine } from '../sandbox/engine.ts';
import type { DockerSettings, OpenOptions } from './docker/index.ts';

/** The settings of whichever engine there is. A second one adds its own here, and below the choice between them. */
export type EngineSettings = DockerSettings;

/** Gets the engine that the settings name ready to make sandboxes. @throws GloveboxError `engine_unavailable` */
export async function openEngine(settings: EngineSettings, options: OpenOptions): Promise<OpenedEngine> {
  // Loaded when it is wanted, so that no start waits for it.
  const { openDocker } = await import('./docker/index.ts');
  return await openDocker(settings, options);
}
