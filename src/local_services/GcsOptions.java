package org.apache.beam.sdk.extensions.gcp.options;

import org.apache.beam.sdk.options.PipelineOptions;

/**
 * In place of the options of Google Cloud Storage, which Beam's job server names and does not use
 * here: they would bring sixty jars, whose work the Python steps do.
 */
public interface GcsOptions extends PipelineOptions {
    Integer getGcsUploadBufferSizeBytes();

    void setGcsUploadBufferSizeBytes(Integer bytes);
}
