const KEY = 'restante.place';

/** A place within the console to go on with; anything else, the overview. No other host is ever gone to. */
export function placeIn(text: string | null | undefined): string {
  if (!text?.startsWith('/') || text.startsWith('//') || text.includes('\\') || text.startsWith('/sign-in')) return '/';
  return text;
}

/** Remembers where to go on, while the browser is at an issuer. */
export function keepPlace(place: string) {
  try {
    sessionStorage.setItem(KEY, place);
  } catch {
    // Then it goes on with the overview.
  }
}

export function placeAfter(): string {
  try {
    const place = placeIn(sessionStorage.getItem(KEY));
    sessionStorage.removeItem(KEY);
    return place;
  } catch {
    return '/';
  }
}
