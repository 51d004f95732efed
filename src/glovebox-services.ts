import type { Registry } from 'prom-client';
import type { Approvals } from './approvals/approvals.ts';
import { openKeys } from './archives/keys.ts';
import { loadS3 } from './archives/open.ts';
import type { OpenS3 } from './archives/place.ts';
import type { Broker } from './broker/broker.ts';
import { ToolsFromCode } from './broker/tools-from-code.ts';
import { Egress } from './egress/egress.ts';
import type { GloveboxSettings, OpenOptions } from './glovebox-settings.ts';
import { tunnelsTo } from './glovebox-tunnels.ts';
import { hasOwners } from './lib/login/auth-kind.ts';
import { LazyGateway } from './packages/gateway/lazy-gateway.ts';
import { openSecrets } from './secrets/open.ts';
import type { Secrets } from './secrets/secrets.ts';
import { LOCAL_OWNER } from './sessions/caller.ts';
import { version } from './version.ts';

/** Parts that not every server has. */
export interface LoadedParts {
  readonly openBroker?: typeof Broker.open;
  readonly web?: typeof import('./egress/open-proxy.ts');
  readonly openS3?: OpenS3 | undefined;
}

/** Loads what the settings ask for. A server without tools or the web starts sooner without their code. */
export async function loadParts(settings: GloveboxSettings): Promise<LoadedParts> {
  const { tools, egress } = settings;
  return {
    openS3: await loadS3(settings),
    ...(tools === undefined ? {} : { openBroker: (await import('./broker/broker.ts')).Broker.open }),
    ...(egress.length === 0 ? {} : { web: await import('./egress/open-proxy.ts') }),
  };
}

export interface ServicesParts {
  readonly loaded: LoadedParts;
  readonly settings: GloveboxSettings;
  readonly options: Pick<OpenOptions, 'log' | 'webOfOwner'>;
  readonly approvals: Approvals;
  readonly registry: Registry;
  /** Runs trusted Python code in a new sandbox, and returns its output. */
  readonly askSandbox: (code: string) => Promise<string>;
}

/** What code can reach from its sandbox: packages, tools and the web. */
export class Services implements AsyncDisposable {
  readonly packages: LazyGateway;
  readonly tools: ToolsFromCode;
  readonly egress: Egress;
  /** Hands each connection of code to the service that it is for. */
  readonly connect: ReturnType<typeof tunnelsTo>;

  /** @throws GloveboxError `invalid_input` for settings with which one of them would always fail */
  constructor(parts: ServicesParts) {
    this.packages = openPackages(parts);
    const secrets = openSecrets(parts.settings, parts.options.log);
    this.tools = openTools(parts, secrets);
    this.egress = openEgress(parts, secrets);
    this.connect = tunnelsTo({ packages: this.packages, tools: this.tools, web: this.egress });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.egress[Symbol.dispose]();
    await Promise.all([this.packages[Symbol.asyncDispose](), this.tools[Symbol.asyncDispose]()]);
  }
}

function openPackages({ settings, options: { log }, askSandbox }: ServicesParts): LazyGateway {
  const { sharedCache: url, sharedCacheDays: days, archiveKeyFile } = settings;
  return new LazyGateway({
    shared:
      url === undefined
        ? undefined
        : { url, days, access: settings, keys: archiveKeyFile === undefined ? undefined : openKeys(archiveKeyFile) },
    indexUrls: settings.indexUrl,
    allow: settings.packagesAllow,
    deny: settings.packagesDeny,
    sdists: settings.packagesSdists,
    caFile: settings.hostEnvironment.caFile,
    proxy: settings.hostEnvironment.proxy,
    cacheDir: settings.cacheDir,
    cacheLimitBytes: settings.cacheMb * 2 ** 20,
    log,
    askSandbox,
  });
}

function openTools(
  { settings, options: { log }, approvals, registry, loaded: { openBroker } }: ServicesParts,
  secrets: Secrets,
): ToolsFromCode {
  const { tools: file, toolsStdio, stateDir, hostEnvironment: hosts, auth } = settings;
  return new ToolsFromCode({
    ...{ file, mayStart: toolsStdio === 1, stateDir, hosts, version, log },
    localOwner: hasOwners(auth) ? undefined : LOCAL_OWNER,
    ask: approvals.ask.bind(approvals),
    ...{ secrets, registry, openBroker },
  });
}

function openEgress(
  { settings, options: { log, webOfOwner }, registry, loaded: { web } }: ServicesParts,
  secrets: Secrets,
): Egress {
  return new Egress({
    patterns: settings.egress,
    privateNetworks: settings.egressPrivate,
    bounds: {
      bytes: settings.egressMb * 2 ** 20,
      connections: settings.egressConnections,
      connectionsPerOwner: settings.egressConnectionsPerOwner,
      idleMs: settings.egressIdleS * 1000,
    },
    hosts: settings.hostEnvironment,
    injector: web && new web.SecretInjector(secrets, log),
    openProxy: web?.openProxy,
    ...{ webOfOwner, registry, log },
  });
}
