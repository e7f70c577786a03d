// After a navigation the new page's heading is focused, once: the first page of a visit leaves the focus where it is.
let wished = false;

export function wishFocus() {
  wished = true;
}

export function takeFocusWish(): boolean {
  const wish = wished;
  wished = false;
  return wish;
}
