// Installs a package, puts a file into the session, works on it there, and takes the outcome.
import { Glovebox } from 'glovebox';

await using glovebox = await Glovebox.open({ image: 'slim' });
await using session = await glovebox.sessions.open({ owner: 'alice', name: 'report' });

const { packages } = await session.install(['humanize']);
for (const { name, version, error } of packages) console.log(error ?? `${name} ${version} is installed.`);

await session.files.write('sizes/in.txt', '1000000\n2500000\n');
const code = `
import humanize
with open("sizes/in.txt") as numbers, open("sizes/out.txt", "w") as words:
    for number in numbers:
        print(humanize.naturalsize(int(number)), file=words)
`;
const { status, stderr } = await session.run(code);
if (status !== 'ok') throw new Error(stderr);
console.log(await session.files.readText('sizes/out.txt'));

const { entries } = await session.files.list('sizes');
for (const { path, size } of entries) console.log(`${path}: ${size} bytes`);
