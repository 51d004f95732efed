import type { SandboxInfo } from '../sandbox/engine.ts';

/** Image that Glovebox has built. */
export interface RemainingImage {
  readonly id: string;
  /** Its references. Empty if a newer image has taken its name. */
  readonly names: readonly string[];
  /** Size in bytes, with the layers that it shares with others. */
  readonly size: number;
}

/** What Glovebox has left on an engine. */
export interface EngineRemains {
  /** Name, version and address of the engine. */
  readonly engine: string;
  /** Sandboxes of every Glovebox on this engine. */
  readonly sandboxes: readonly SandboxInfo[];
  /** Images, which all of these share. */
  readonly images: readonly RemainingImage[];
  /** When Glovebox installed the engine. Undefined if it did not, as far as its state directory knows. */
  readonly installedAt: string | undefined;
  removeSandbox(sandbox: SandboxInfo): Promise<void>;
  /** Removes an image. @returns false if something uses it */
  removeImage(image: RemainingImage): Promise<boolean>;
}
