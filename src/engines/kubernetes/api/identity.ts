import type { KubeconfigCluster } from './kubeconfig-file.ts';

/** What shows the API server who asks. */
export interface Credentials {
  readonly headers: Readonly<Record<string, string | string[]>>;
  /** Certificate and key of the client, as PEM. */
  readonly cert?: string;
  readonly key?: string;
}

/**
 * Returns the credentials.
 * @param fresh whether to get them anew, because the server has refused the last ones
 * @throws GloveboxError `engine_unavailable` with the next step
 */
export type CredentialSource = (fresh?: boolean) => Promise<Credentials>;

/** Credentials, and until when they are good, in milliseconds since 1970. */
export interface Dated {
  readonly credentials: Credentials;
  readonly until: number;
}

/** What a user's credentials are for. */
export interface UserContext {
  readonly cluster: KubeconfigCluster;
  /** Authorities of the cluster, as PEM. */
  readonly ca: string | undefined;
  /** Origin of the access, for messages. */
  readonly source: string;
  /** Returns the environment of this process with more variables. */
  readonly environmentWith: (more: Readonly<Record<string, string>>) => NodeJS.ProcessEnv;
}
