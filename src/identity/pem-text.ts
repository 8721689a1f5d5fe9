// Credentials may stand in a configuration as the path of a file, or as its text.

export const isPem = (text: string): boolean => text.includes('-----BEGIN ');
