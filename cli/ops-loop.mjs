#!/usr/bin/env node
// The program is TypeScript; tsx lets Node run it as it is. Works from any folder.

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`error: Ops Loop needs Node 20.19 or newer; this is ${process.versions.node}.`)
  process.exit(1)
}

try {
  const { register } = await import('tsx/esm/api')
  // Not the tsconfig.json of the folder that we happen to be called from.
  register({ tsconfig: false })
  // A user's executors may lie in a folder whose package.json does not say "type": "module", or has none.
  const commonJs = await import('tsx/cjs/api')
  commonJs.register()
} catch (error) {
  if (error?.code !== 'ERR_MODULE_NOT_FOUND') throw error
  console.error('error: the dependencies of Ops Loop are not installed.\n  Run npm ci in its folder.')
  process.exit(1)
}
const { main } = await import('./main.ts')
await main(process.argv.slice(2))
