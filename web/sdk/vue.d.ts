export const mamimon: { install(app: unknown): void };
