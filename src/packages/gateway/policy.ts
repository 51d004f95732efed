import { GloveboxError } from '../../errors.ts';
import type { ProjectPage } from '../index/index-page.ts';
import { describeProjectStatus } from '../index/project-status.ts';
import { parseFilename } from '../pep/names.ts';
import { parseRequirement, type Requirement } from '../pep/requirement.ts';
import { matchesSpecifiers } from '../pep/specifiers.ts';
import { parseVersion } from '../pep/version.ts';
import { Problem } from '../upstream/problem.ts';

export interface PolicyOptions {
  /** Requirements (PEP 508) that are allowed, as names with version specifiers. Empty allows everything. */
  readonly allow: readonly string[];
  /** Requirements that are denied. */
  readonly deny: readonly string[];
  readonly sdists: 'allow' | 'deny';
}

/** Rules for the packages, versions and kinds of files that a sandbox may download. */
export class Policy {
  readonly #allow: ReadonlyMap<string, readonly Requirement[]> | undefined;
  readonly #deny: ReadonlyMap<string, readonly Requirement[]>;
  readonly #sdists: boolean;

  /** @throws GloveboxError `invalid_input` for an entry that is not a requirement */
  constructor({ allow, deny, sdists }: PolicyOptions) {
    this.#allow = allow.length > 0 ? byProject(allow, 'GLOVEBOX_PACKAGES_ALLOW') : undefined;
    this.#deny = byProject(deny, 'GLOVEBOX_PACKAGES_DENY');
    this.#sdists = sdists === 'allow';
  }

  /** Checks a project, whose name is normalised. @throws Problem 403 when none of its versions is allowed */
  checkProject(project: string): void {
    if (this.#deny.get(project)?.some(({ specifiers }) => specifiers.length === 0)) {
      throw new Problem(
        403,
        `${project} is denied by this server. The operator can remove it from GLOVEBOX_PACKAGES_DENY.`,
      );
    }
    if (this.#allow && !this.#allow.has(project)) {
      throw new Problem(
        403,
        `${project} is not among the packages that this server allows. The operator can add it to GLOVEBOX_PACKAGES_ALLOW.`,
      );
    }
  }

  /** Whether a file is allowed. Its project must have passed {@link checkProject}. */
  permits(project: string, filename: string): boolean {
    const distribution = parseFilename(filename, project);
    if (!distribution || (distribution.kind === 'sdist' && !this.#sdists)) return false;
    const allowed = this.#allow?.get(project)?.filter(({ specifiers }) => specifiers.length > 0) ?? [];
    const everyAllowed = !this.#allow || (this.#allow.get(project)?.length ?? 0) > allowed.length;
    const denied = this.#deny.get(project) ?? [];
    if (everyAllowed && denied.length === 0) return true;
    const version = parseVersion(distribution.version);
    // A version that cannot be read cannot be checked against the rules.
    if (!version) return false;
    const meets = ({ specifiers }: Requirement) => matchesSpecifiers(version, specifiers);
    return (everyAllowed || allowed.some(meets)) && !denied.some(meets);
  }

  /** @throws Problem 403 for a file that {@link permits} does not allow */
  refuseFile(filename: string): never {
    throw new Problem(
      403,
      `${filename} is denied by this server. The operator can change GLOVEBOX_PACKAGES_ALLOW or GLOVEBOX_PACKAGES_DENY.`,
    );
  }

  /**
   * The reason why a project is shown to the installer without files: it is quarantined, or has only source archives
   * where these are denied. Undefined when some files are allowed, or the index has none.
   * @throws Problem 403 when every version of a project is denied
   */
  refusalOf({ project, files, status }: ProjectPage): Problem | undefined {
    if (status?.status === 'quarantined') return new Problem(403, describeProjectStatus(project, status));
    if (files.length === 0 || files.some(({ filename }) => this.permits(project, filename))) return undefined;
    if (!this.#sdists && files.every(({ kind }) => kind === 'sdist')) {
      return new Problem(
        403,
        `${project} has only source archives, and this server allows only wheels. The operator can set GLOVEBOX_PACKAGES_SDISTS=allow.`,
      );
    }
    throw new Problem(
      403,
      `Every version of ${project} is denied by this server. The operator can change GLOVEBOX_PACKAGES_ALLOW or GLOVEBOX_PACKAGES_DENY.`,
    );
  }
}

function byProject(entries: readonly string[], setting: string): Map<string, Requirement[]> {
  const requirements = entries.map((entry) => parseEntry(entry, setting));
  return Map.groupBy(requirements, ({ project }) => project);
}

/** Reads a rule. Markers and extras are refused, because a rule with them would not always apply. */
function parseEntry(entry: string, setting: string): Requirement {
  try {
    const requirement = parseRequirement(entry);
    if (requirement.marker === undefined && requirement.extras.length === 0) return requirement;
    throw new GloveboxError('invalid_input', `"${entry}" has a marker or extras.`);
  } catch (cause) {
    if (!(cause instanceof GloveboxError)) throw cause;
    throw new GloveboxError('invalid_input', `${setting}: ${cause.message}`, {
      hint: `Give only names and versions, separated by commas: ${setting}=requests,pandas>=2`,
      cause,
    });
  }
}
