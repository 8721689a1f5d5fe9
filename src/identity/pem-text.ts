// Credentials in a configuration may be the path of a file, or PEM text.

export const isPem = (text: string): boolean => text.includes('-----BEGIN ');
