import { type TraceContext, trace } from '../../telemetry/trace.ts';
import { Problem } from '../upstream/problem.ts';
import type { Route } from './route.ts';

const NAMES: Readonly<Record<Route['to'], string>> = {
  page: 'glovebox.packages.index',
  file: 'glovebox.packages.download',
  metadata: 'glovebox.packages.metadata',
  unpacked: 'glovebox.packages.metadata',
  redirect: 'glovebox.packages.redirect',
};

/**
 * Answers a request for packages as a part of the installation that sends it. Code that asks by itself makes no spans: it
 * could make any number.
 */
export async function traceServing(
  installation: TraceContext | undefined,
  route: Route,
  serve: () => Promise<void>,
): Promise<void> {
  if (!installation) return await serve();
  await trace(
    NAMES[route.to],
    async (span) => {
      try {
        await serve();
        // Only now is it known that the index has it; before, it may be any text of the code.
        if ('project' in route) span?.set({ 'glovebox.package.name': route.project });
        if ('filename' in route) span?.set({ 'glovebox.package.file': route.filename });
      } catch (error) {
        if (error instanceof Problem) span?.set({ 'http.response.status_code': error.status });
        throw error;
      }
    },
    { parent: installation },
  );
}
