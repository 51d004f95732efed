import type { ApprovalPolicy, ToolServer } from '../file/server-entry.ts';
import type { CatalogTool } from './catalog.ts';
import { matcherOf } from './globs.ts';

/** What a person is asked for, by the file of the operator and by what is known of the tool. */
export function approvalMode({ approve }: ToolServer, tool: CatalogTool): ApprovalPolicy {
  if (tool.isChanged) return 'always';
  const policy = typeof approve === 'string' ? approve : policyOf(approve, tool.name);
  return policy === 'writes' && !tool.writes ? 'never' : policy;
}

/** The policy of a name itself, or else of the first glob that it matches, or else the default. */
function policyOf(policies: Readonly<Record<string, ApprovalPolicy>>, name: string): ApprovalPolicy {
  if (Object.hasOwn(policies, name)) return policies[name] ?? 'writes';
  return Object.entries(policies).find(([glob]) => matcherOf([glob])(name))?.[1] ?? 'writes';
}
