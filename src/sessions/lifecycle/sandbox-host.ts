import type { ArchiveSettings } from '../../archives/settings.ts';
import type { SandboxHandle } from '../../sandbox/sandbox.ts';
import type { SessionTerminals } from '../../terminals/session-terminals.ts';
import type { BackgroundEnds } from '../attached/background-ends.ts';
import type { Contexts } from '../contexts.ts';
import type { OwningSession, SandboxOwners } from '../sandbox-owners.ts';
import type { Lifetime } from './lifetime.ts';

/** Empty sandbox for a session. Until this is disposed of, the pool starts no other sandbox. */
export interface ProvidedSandbox extends Disposable {
  readonly sandbox: SandboxHandle;
}

/** Services that provide, record and archive the sandboxes of sessions. */
export interface SandboxHost {
  readonly archives: ArchiveSettings;
  readonly owners: Pick<
    SandboxOwners,
    'enter' | 'leave' | 'lose' | 'assign' | 'unassign' | 'end' | 'isLost' | 'isForeign'
  >;
  /** Gets an empty sandbox that counts against the owner's memory. @throws GloveboxError when none is available */
  readonly provide: (owner: string) => Promise<ProvidedSandbox>;
  /** Is told how executions in the background end. Default: nobody is. */
  readonly ends?: BackgroundEnds;
}

/** Part of a session that its sandbox needs. */
export interface SandboxedSession extends OwningSession {
  readonly contexts: Contexts;
  readonly lifetime: Lifetime;
  /** Whether executions are running. */
  readonly isBusy: boolean;
  readonly terminals: Pick<SessionTerminals, 'live' | 'loseAll' | 'loss' | 'recorded' | 'told'>;
  /** Called when the set of live contexts has changed. */
  onContexts(): void;
}
