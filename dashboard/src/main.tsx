import '@picocss/pico/css/pico.min.css';
import './style.css';
import { render } from 'preact';
import { clearAddress } from './api/key.ts';
import { App } from './app.tsx';

clearAddress();
const root = document.getElementById('app');
if (root) {
  root.replaceChildren();
  render(<App />, root);
}
