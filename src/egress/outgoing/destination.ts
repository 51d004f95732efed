/** Where a connection goes. Host and port are allowed by the policy already. */
export interface Destination {
  readonly owner: string;
  /** In the form of `readHost`. */
  readonly host: string;
  readonly port: number;
  readonly isTls: boolean;
  /** Whether the operator names the address itself, so that it may be a private one. */
  readonly isNamedAddress: boolean;
  /** Whether either side may end its half of the connection first. */
  readonly isHalfOpen?: boolean | undefined;
}
