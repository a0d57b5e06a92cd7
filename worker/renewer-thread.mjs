// The thread's entry: the program is TypeScript, and loaders are each thread's own.
import { register } from 'tsx/esm/api'

register({ tsconfig: false })
await import('./renewer-thread-body.ts')
