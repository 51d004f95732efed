#!/usr/bin/env node
// Nothing is imported above: an older Node cannot even read the rest. Its least version is `engines` in package.json.
const LEAST = [22, 13] as const;
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

if (major > LEAST[0] || (major === LEAST[0] && minor >= LEAST[1])) {
  // Before all else: nothing that serves anyone is ever done as root.
  const { leaveRoot } = await import('./commands/leave-root.ts');
  const refusal = leaveRoot();
  if (refusal === undefined) {
    // Written at the end, it would be left by the command that removes it.
    if (process.argv[2] !== 'uninstall') (await import('./commands/compile-cache.ts')).keepCompiledCode();
    await import('./commands/index.ts');
  } else {
    process.stderr.write(`glovebox: ${refusal}\n`);
    process.exitCode = 1;
  }
} else {
  process.stderr.write(
    `glovebox needs Node ${LEAST.join('.')} or later, and this is ${process.version}: install a newer one, or start it with that.\n`,
  );
  process.exitCode = 1;
}

export {};
