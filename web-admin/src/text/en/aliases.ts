export const aliases = {};
