// Before the first paint: the colours that were chosen, so that nobody who chose dark is dazzled. A file, since the policy allows no inline script.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem('restante.colours');
  } catch {
    // Storage may be forbidden; the system's colours then.
  }
  const dark = chosen === 'dark' || (chosen !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches);
  document.documentElement.setAttribute('data-mantine-color-scheme', dark ? 'dark' : 'light');
})();
