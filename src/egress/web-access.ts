/** Whose code reaches the web, and where it runs. */
export interface WebRequestor {
  readonly owner: string;
  readonly sessionId: string;
  readonly executionId: string;
}

/** Execution that is to have access to the web. Each list of patterns only narrows what the one above it allows. */
export interface WebRequest extends WebRequestor {
  /** Patterns of its session. Default: all that its owner may reach. */
  readonly session?: readonly string[] | undefined;
  /** Patterns of its call. Default: all that its session may reach. An empty list is none. */
  readonly patterns?: readonly string[] | undefined;
  /** Called when what is to be recorded of its grant has changed. */
  readonly onRecord?: (() => void) | undefined;
}

/** Why the web was refused: what the operator, the key, the session or the call does not name, or a bound that is met. */
export type WebRule = 'host' | 'port' | 'address' | 'secret' | 'limit';

/** A connection or request that was refused. */
export interface WebRefusal {
  readonly host: string;
  readonly port: number;
  readonly rule: WebRule;
  /** One sentence for people and models, with what an operator or caller can do. */
  readonly message: string;
  /** Bound that was met, if `rule` is `limit`: the name of its setting, its value, and how to raise it. */
  readonly limit?: { readonly name: string; readonly value: number; readonly setting: string } | undefined;
}

/** What an execution has had from one host. */
export interface WebHostUse {
  readonly host: string;
  readonly port: number;
  /** Requests, or connections of which only the ends see the requests. */
  readonly requests: number;
  /** Bytes that the code has received. */
  readonly bytesIn: number;
  /** Bytes that the code has sent. */
  readonly bytesOut: number;
}

/** A grant as the next control plane needs it. It holds no token. */
export interface RecordedWebGrant {
  /** Hash of its token. */
  readonly hash: string;
  readonly session?: readonly string[] | undefined;
  readonly patterns?: readonly string[] | undefined;
  /** Bytes so far; rather more than less. */
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** Access to the web of one execution. It ends with it, and so do its connections. */
export interface WebGrant extends Disposable {
  /** Hosts that it has reached, at most 100. */
  readonly hosts: readonly WebHostUse[];
  /** Refusals, each host and rule once, at most 20. */
  readonly refusals: readonly WebRefusal[];
  readonly recorded: RecordedWebGrant;
}

/** What gives executions access to the web. */
export interface WebAccess {
  /** Whether the operator has named any host. If not, nobody has access, and sandboxes need no proxy. */
  readonly isOn: boolean;
  /**
   * Checks patterns by which a session or a call narrows what its owner may reach. Returns them in their usual form.
   * @param within patterns of the session, for those of a call
   * @throws GloveboxError `invalid_input` for the first one that is none, or that the level above does not cover
   */
  narrow(owner: string, patterns: readonly string[], within?: readonly string[]): readonly string[];
  /**
   * Opens a grant, with the token that the execution shows as the password of the proxy. Undefined if it may reach nothing.
   * @throws GloveboxError `invalid_input` as `narrow` does
   */
  open(request: WebRequest): (WebGrant & { readonly token: string }) | undefined;
  /** Opens a grant of an earlier control plane again. */
  reopen(recorded: RecordedWebGrant, request: WebRequestor & Pick<WebRequest, 'onRecord'>): WebGrant;
  /** What an owner may reach, as a clause for descriptions: `api.example.com, *.example.org:8443`. Empty if nothing. */
  describe(owner: string): string;
  /** Addresses of these whose requests get a secret, as code writes them: `http://api.example.com`. */
  addressesWithSecrets(owner: string): readonly string[];
}
