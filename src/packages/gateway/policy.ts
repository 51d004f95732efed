import { GloveboxError } from '../../errors.ts';
import type { ProjectPage } from '../index/index-page.ts';
import { describeProjectStatus } from '../index/project-status.ts';
import { parseFilename } from '../pep/names.ts';
import { parseRequirement, type Requirement } from '../pep/requirement.ts';
import { matchesSpecifiers } from '../pep/specifiers.ts';
import { parseVersion } from '../pep/version.ts';
import { Problem } from '../upstream/problem.ts';

export interface PolicyOptions {
  /** PEP 508 names with specifiers; empty allows everything. */
  readonly allow: readonly string[];
  readonly deny: readonly string[];
  readonly sdists: 'allow' | 'deny';
}

/** Which packages, versions and kinds of file a sandbox may have. */
export class Policy {
  readonly #allow: ReadonlyMap<string, readonly Requirement[]> | undefined;
  readonly #deny: ReadonlyMap<string, readonly Requirement[]>;
  readonly #sdists: boolean;

  /** @throws GloveboxError `invalid_input` for an entry that is no requirement. */
  constructor({ allow, deny, sdists }: PolicyOptions) {
    this.#allow = allow.length > 0 ? byProject(allow, 'GLOVEBOX_PACKAGES_ALLOW') : undefined;
    this.#deny = byProject(deny, 'GLOVEBOX_PACKAGES_DENY');
    this.#sdists = sdists === 'allow';
  }

  /** @throws Problem 403 when no version of the project may be had; `project` is normalised. */
  checkProject(project: string): void {
    if (this.#deny.get(project)?.some(({ specifiers }) => specifiers.length === 0)) {
      throw new Problem(
        403,
        `${project} is denied by this server: its operator can take it out of GLOVEBOX_PACKAGES_DENY.`,
      );
    }
    if (this.#allow && !this.#allow.has(project)) {
      throw new Problem(
        403,
        `${project} is not among the packages that this server allows: its operator can add it to GLOVEBOX_PACKAGES_ALLOW.`,
      );
    }
  }

  /** Whether a file of a project that {@link checkProject} let pass may be had. */
  permits(project: string, filename: string): boolean {
    const distribution = parseFilename(filename, project);
    if (!distribution || (distribution.kind === 'sdist' && !this.#sdists)) return false;
    const allowed = this.#allow?.get(project)?.filter(({ specifiers }) => specifiers.length > 0) ?? [];
    const everyAllowed = !this.#allow || (this.#allow.get(project)?.length ?? 0) > allowed.length;
    const denied = this.#deny.get(project) ?? [];
    if (everyAllowed && denied.length === 0) return true;
    const version = parseVersion(distribution.version);
    // A version that cannot be read cannot be shown to be within the rules.
    if (!version) return false;
    const meets = ({ specifiers }: Requirement) => matchesSpecifiers(version, specifiers);
    return (everyAllowed || allowed.some(meets)) && !denied.some(meets);
  }

  /** @throws Problem 403 for a file that {@link permits} does not let pass. */
  refuseFile(filename: string): never {
    throw new Problem(
      403,
      `${filename} is denied by this server: its operator can change GLOVEBOX_PACKAGES_ALLOW or GLOVEBOX_PACKAGES_DENY.`,
    );
  }

  /**
   * Why an installer finds a project without files, as it would where it were told itself to take wheels only, or where
   * the index offers none.
   * @throws Problem 403 for a project that has files, all versions of which are denied.
   */
  refusalOf({ project, files, status }: ProjectPage): Problem | undefined {
    if (status?.status === 'quarantined') return new Problem(403, describeProjectStatus(project, status));
    if (files.length === 0 || files.some(({ filename }) => this.permits(project, filename))) return undefined;
    if (!this.#sdists && files.every(({ kind }) => kind === 'sdist')) {
      return new Problem(
        403,
        `${project} has only source archives, and this server takes wheels only: its operator can set GLOVEBOX_PACKAGES_SDISTS=allow.`,
      );
    }
    throw new Problem(
      403,
      `Every version of ${project} is denied by this server: its operator can change GLOVEBOX_PACKAGES_ALLOW or GLOVEBOX_PACKAGES_DENY.`,
    );
  }
}

function byProject(entries: readonly string[], setting: string): Map<string, Requirement[]> {
  const requirements = entries.map((entry) => parseEntry(entry, setting));
  return Map.groupBy(requirements, ({ project }) => project);
}

/** A rule that held for some sandboxes, or some uses of a package, would be taken for one that holds. */
function parseEntry(entry: string, setting: string): Requirement {
  try {
    const requirement = parseRequirement(entry);
    if (requirement.marker === undefined && requirement.extras.length === 0) return requirement;
    throw new GloveboxError('invalid_input', `"${entry}" has a marker or extras.`);
  } catch (cause) {
    if (!(cause instanceof GloveboxError)) throw cause;
    throw new GloveboxError('invalid_input', `${setting}: ${cause.message}`, {
      hint: `Give names and versions only, with commas in between: ${setting}=requests,pandas>=2`,
      cause,
    });
  }
}
