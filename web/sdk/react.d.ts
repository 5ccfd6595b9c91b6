import { Component, ReactNode } from "react";
export interface ErrorBoundaryProps {
  /** What is shown instead of children that failed. */
  fallback?: ReactNode | ((error: unknown) => ReactNode);
  children?: ReactNode;
}
/** Reports what its children throw while they render, and shows the fallback. */
export class ErrorBoundary extends Component<ErrorBoundaryProps, { error: unknown }> {
  render(): ReactNode;
}
