// Keeps a session as it is, and goes on from there twice.
import { Glovebox } from 'glovebox';

await using glovebox = await Glovebox.open({ image: 'slim' });
const session = await glovebox.sessions.open({ name: 'base' });
await session.run('open("notes.txt", "w").write("shared\\n")');

// A snapshot stays until it is deleted; a fork is a session of its own at once.
const snapshot = await session.snapshot();
const fork = await session.fork({ name: 'variant' });
await fork.run('open("notes.txt", "a").write("only here\\n")');
await session.close();

const again = await glovebox.sessions.open({ name: 'again', snapshot: snapshot.id });
console.log('The fork has:', await fork.files.readText('notes.txt'));
console.log('The snapshot has:', await again.files.readText('notes.txt'));
await glovebox.snapshots.delete(snapshot.id);
