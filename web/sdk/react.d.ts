import { Component, ReactNode } from "react";
export class ErrorBoundary extends Component<{ fallback?: ReactNode | ((error: unknown) => ReactNode); children?: ReactNode }> {}
