"""Writes a DICOM structured report: the volume of each lesion, with a reference to its segment, and the total."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from insula.errors import Unavailable
from insula.io.dicom.read import DicomScan
from insula.io.dicom.references import name_true_classes
from insula.io.dicom.slices import quiet
from insula.types import VERSION

if TYPE_CHECKING:
    from highdicom.seg import Segmentation
    from highdicom.sr import Comprehensive3DSR

__all__ = ["measurement_sr"]

_SERIES = 9100  # added to the source's series number


def measurement_sr(source: DicomScan, seg: Segmentation, volumes_ml: Sequence[float]) -> Comprehensive3DSR:
    """Return a report of the lesion volumes in a series.

    Args:
        source: the DICOM scan that was segmented.
        seg: the segmentation from `lesion_seg`.
        volumes_ml: volumes of the segments, in their order [ml]; empty if there is no lesion, reported as 0 ml.

    Raises:
        Unavailable: highdicom is not installed.

    Source:
        DICOM PS3.16 TID 1500 (measurement report), TID 1411 (volumetric ROI).
    """
    try:
        import highdicom as hd
        from pydicom.sr.codedict import codes
        from pydicom.uid import generate_uid
    except ImportError:
        raise Unavailable("DICOM SR", "", "needs highdicom", "run: pip install 'insula[dicom]'") from None
    first = source.references[0]
    seeds = [str(seg.SOPInstanceUID), "report", VERSION]
    infarct = hd.sr.CodedConcept("55641003", "SCT", "Infarct")
    site = hd.sr.FindingSite(anatomic_location=codes.SCT.Brain)

    def volume(value_ml: float) -> hd.sr.Measurement:
        return hd.sr.Measurement(
            name=codes.SCT.Volume, value=round(value_ml, 6), unit=hd.sr.CodedConcept("mL", "UCUM", "milliliter")
        )

    with quiet():
        lesions = [
            hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
                tracking_identifier=hd.sr.TrackingIdentifier(uid=segment.TrackingUID, identifier=segment.TrackingID),
                referenced_segment=hd.sr.ReferencedSegment(
                    sop_class_uid=seg.SOPClassUID,
                    sop_instance_uid=seg.SOPInstanceUID,
                    segment_number=number,
                    source_series=hd.sr.SourceSeriesForSegmentation(first.SeriesInstanceUID),
                ),
                finding_type=infarct,
                finding_sites=[site],
                measurements=[volume(value_ml)],
            )
            for number, (segment, value_ml) in enumerate(zip(seg.SegmentSequence, volumes_ml, strict=False), 1)
        ]
        total = hd.sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=hd.sr.TrackingIdentifier(
                uid=generate_uid(entropy_srcs=[*seeds, "all"]), identifier="all lesions"
            ),
            finding_type=infarct,
            finding_sites=[site],
            measurements=[volume(sum(volumes_ml))],
        )
        device = hd.sr.DeviceObserverIdentifyingAttributes(
            uid=generate_uid(entropy_srcs=["insula", VERSION]),
            name="insula",
            manufacturer_name="insula",
            model_name=f"insula {VERSION}",
        )
        content = hd.sr.MeasurementReport(
            observation_context=hd.sr.ObservationContext(
                observer_device_context=hd.sr.ObserverContext(
                    observer_type=codes.DCM.Device, observer_identifying_attributes=device
                )
            ),
            procedure_reported=hd.sr.CodedConcept("24590-2", "LN", "MR Brain"),
            imaging_measurements=[*lesions, total],
            title=codes.DCM.ImagingMeasurementReport,
        )
        for flag in source.scan.flags:  # among them which series was chosen, and why
            content[0].ContentSequence.append(
                hd.sr.TextContentItem(
                    name=codes.DCM.Comment,
                    value=flag.text[:1024],
                    relationship_type=hd.sr.RelationshipTypeValues.CONTAINS,
                )
            )
        report = hd.sr.Comprehensive3DSR(
            evidence=[*source.references, seg],
            content=content[0],
            series_number=_SERIES + int(first.get("SeriesNumber") or 0),
            instance_number=1,
            series_instance_uid=generate_uid(entropy_srcs=[*seeds, "series"]),
            sop_instance_uid=generate_uid(entropy_srcs=[*seeds, "instance"]),
            manufacturer="insula",
            is_complete=True,
            is_final=False,
            series_description="insula measurements, for research only",
        )
    name_true_classes(report, source.headers, source.references)
    return report
