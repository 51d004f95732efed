import type { Duplex } from 'node:stream';
import type { ToolsFromCode } from './broker/tools-from-code.ts';
import type { LazyGateway } from './packages/gateway/lazy-gateway.ts';
import type { TunnelService } from './protocol/channel.ts';
import type { Session } from './sessions/sessions.ts';

type TunnelSession = Pick<Session, 'owner' | 'id' | 'downloads'>;

/** What code in sandboxes connects to. */
export interface TunnelServices {
  readonly packages: Pick<LazyGateway, 'connect'>;
  readonly tools: Pick<ToolsFromCode, 'connect'>;
  /** Undefined if code may reach no other hosts. */
  readonly web?:
    | { connect(stream: Duplex, session: { readonly owner: string; readonly id: string }): void }
    | undefined;
}

/** Returns a function that hands each connection of code to the service that it is for. */
export function tunnelsTo({ packages, tools, web }: TunnelServices) {
  return (tunnel: Duplex, session: TunnelSession, service: TunnelService): void => {
    if (service === 'packages') packages.connect(tunnel, toClient(session));
    else if (service === 'tools') tools.connect(tunnel, session);
    else if (web) web.connect(tunnel, session);
    // Only a runner that was not asked for it opens one without a proxy.
    else tunnel.destroy();
  };
}

/** The session as the package gateway knows it. */
function toClient({ owner, id: session, downloads }: TunnelSession) {
  return { owner, session, ...downloads };
}
