/** How bad an advisory is, the mildest first. */
export const SEVERITIES = ['info', 'low', 'moderate', 'high', 'critical'] as const;
export type Severity = (typeof SEVERITIES)[number];

/** `runtime`: installed with the product. `development`: installed in a clone only. */
export type Use = 'runtime' | 'development';

export interface AcceptedAdvisory {
  /** Its address ends with this, such as `GHSA-xxxx-xxxx-xxxx`. */
  readonly id: string;
  readonly package: string;
  /** Why it does not concern this product. */
  readonly reason: string;
}

export interface DependencyPolicy {
  readonly maxRuntimePackages: number;
  /** SPDX identifiers. */
  readonly licences: Readonly<Record<Use, readonly string[]>>;
  /** Advisories from this severity on fail the check. */
  readonly leastSeverity: Readonly<Record<Use, Severity>>;
  readonly acceptedAdvisories: readonly AcceptedAdvisory[];
}

const PERMISSIVE = ['0BSD', 'Apache-2.0', 'BlueOak-1.0.0', 'BSD-2-Clause', 'BSD-3-Clause', 'ISC', 'MIT', 'Unlicense'];

/** The limits that every dependency keeps. A change here is a decision: say why in docs/decisions/dependencies.md. */
export const POLICY: DependencyPolicy = {
  // Those that other platforms or settings leave out are counted as well.
  maxRuntimePackages: 128,
  licences: {
    runtime: PERMISSIVE,
    // MPL-2.0: lightningcss, which vitest brings. CC0-1.0 and Python-2.0: icons and argparse, which vitepress and typedoc
    // bring. None of them is passed on with the product.
    development: [...PERMISSIVE, 'CC0-1.0', 'MPL-2.0', 'Python-2.0'],
  },
  leastSeverity: { runtime: 'low', development: 'high' },
  acceptedAdvisories: [],
};
