// What the browser keeps for a page; with cookies blocked it keeps nothing, and even to ask is an error.

export function recall(storage, name) {
  try {
    return storage().getItem(name);
  } catch {
    return null;
  }
}

export function remember(storage, name, value) {
  try {
    storage().setItem(name, value);
  } catch {
    // Then it is forgotten with the page.
  }
}
