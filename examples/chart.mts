// Draws a chart with matplotlib and saves it as chart.png. The image "data" has matplotlib.
import { writeFile } from 'node:fs/promises';
import { Glovebox } from 'glovebox';

await using glovebox = await Glovebox.open({ image: 'data' });
await using session = await glovebox.sessions.open();

const code = `
import matplotlib.pyplot as plt
plt.plot([1, 2, 3, 4], [1, 4, 9, 16])
plt.title("Squares")
plt.show()
`;
const { displays = [], stderr } = await session.run(code);
const png = displays.map((display) => display.png).find((data) => data !== undefined);
if (png === undefined) throw new Error(`There is no chart: ${stderr}`);
await writeFile('chart.png', Buffer.from(png, 'base64'));
console.log('The chart is in chart.png.');
