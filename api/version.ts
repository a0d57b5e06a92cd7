/** Of this program, as in package.json: a bundled function has no package.json to read it from. */
export const VERSION = '0.1.0'
